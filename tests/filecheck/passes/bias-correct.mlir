// Two bits: the rows 1, -1 | 0.5, 0.25 | -1, 0.75 become 1, -1 | 1, 0 | -1, 1. The frames' means
// are 0.7 and 0.35; rounded to steps of 1, from -2 to 1, both are 0.2.
// So the mean shifts are 0 - 0.35, 0.2 - 0.4375 and 0 - (-0.4375).
// RUN: mohaq-opt %s -p 'bias-correct{data="frames.safetensors"}' 2>&1 | filecheck %s
// RUN: mohaq-opt %s -p 'bias-correct{data="frames.safetensors" limit=1 report=false},lower-to-qnn' 2>&1 | filecheck %s --check-prefix INTEGERS

// CHECK: 'fc': 3 rows, mean shift up to 0.438
// CHECK-NOT: in a new bias
// CHECK: param.declare @fc.bias.corrected : tensor<3xf32>
// CHECK-NOT: param.declare @fc.bias :
// CHECK: %[[B:.*]] = param.load @fc.bias.corrected
// CHECK: nn.linear "fc" %x, %{{.*}} bias %[[B]] {
// CHECK-SAME: bias_corrected

// INTEGERS-NOT: mean shift
// INTEGERS: qnn.bias

param.declare @fc.weight : tensor<3x2xf32>
param.declare @fc.bias : tensor<3xf32>

func.func @main(%x: tensor<?x?x2xf32> {quant.grid = #quant.grid<16, 0.000244140625>}) -> (tensor<?x?x3xf32> {quant.grid = #quant.grid<16, 0.000244140625>}) {
  %fw = param.load @fc.weight : tensor<3x2xf32>
  %fb = param.load @fc.bias : tensor<3xf32>
  %y = nn.linear "fc" %x, %fw bias %fb {quant = {weight = #quant.grid<2, 1.0>, input = #quant.grid<2, 1.0>, output = #quant.grid<16, 0.000244140625>}} : (tensor<?x?x2xf32>, tensor<3x2xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  func.return %y : tensor<?x?x3xf32>
}
