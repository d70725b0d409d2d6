// Rows of "a" are divided and columns of "b" multiplied by sqrt(1 / 1) and sqrt(0.75 / 1).
// RUN: mohaq-opt %s -p equalize 2>&1 | filecheck %s
// RUN: mohaq-opt %s -p 'equalize{limit=1.0 report=false}' 2>&1 | filecheck %s --check-prefix SAME
// RUN: mohaq-opt %s -p 'equalize{report=false},calibrate{data="frames.safetensors" method=minmax widths=8}' | filecheck %s --check-prefix CLIPS

// CHECK: 'a' -> 'b': 2 channels, divided by 0.866 to 1
// CHECK: 'b' stays: it is a result of the program
// CHECK-DAG: param.declare @a.weight.equalized : tensor<2x2xf32>
// CHECK-DAG: param.declare @b.weight.equalized : tensor<3x2xf32>
// CHECK-NOT: param.declare @square.weight
// CHECK: %[[WA:.*]] = param.load @a.weight.equalized
// CHECK: %[[A:.*]] = nn.linear "a" %x, %[[WA]]
// CHECK-NOT: calibration
// CHECK: %[[R:.*]] = nn.unary <relu> %[[A]]
// CHECK: %[[WB:.*]] = param.load @b.weight.equalized
// CHECK: %[[B:.*]] = nn.linear "b" %[[R]], %[[WB]]
// CHECK: func.return %[[B]]

// SAME-NOT: channels
// SAME-NOT: equalized
// SAME: param.load @square.weight

// Both sides have the range sqrt(1 * 1) and sqrt(0.75 * 1).
// CLIPS: nn.linear "a"
// CLIPS-SAME: weight = #quant.clips<8 = 1.0>
// CLIPS: nn.linear "b"
// CLIPS-SAME: weight = #quant.clips<8 = 1.0>

param.declare @square.weight : tensor<2x2xf32>
param.declare @fc.weight : tensor<3x2xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x3xf32> {
  %wa = param.load @square.weight : tensor<2x2xf32>
  %a = nn.linear "a" %x, %wa {calibration = {weight = #quant.clips<8 = 1.0>}} : (tensor<?x?x2xf32>, tensor<2x2xf32>) -> tensor<?x?x2xf32>
  %r = nn.unary <relu> %a : (tensor<?x?x2xf32>) -> tensor<?x?x2xf32>
  %wb = param.load @fc.weight : tensor<3x2xf32>
  %b = nn.linear "b" %r, %wb : (tensor<?x?x2xf32>, tensor<3x2xf32>) -> tensor<?x?x3xf32>
  func.return %b : tensor<?x?x3xf32>
}
