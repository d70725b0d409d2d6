// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors"},uniform{bits=4}' | filecheck %s
// RUN: mohaq-opt %s -p 'calibrate{data="frames.safetensors"},uniform' | filecheck %s --check-prefix DEFAULT

// CHECK: nn.sru "l0"
// CHECK-SAME: quant = {weight = #quant.grid<4, {{.*}}>, input = #quant.grid<4, {{.*}}>
// CHECK: nn.linear "fc"
// CHECK-SAME: quant = {weight = #quant.grid<4, {{.*}}>, input = #quant.grid<4, {{.*}}>, output = #quant.grid<16,

// DEFAULT: nn.sru "l0"
// DEFAULT-SAME: quant = {weight = #quant.grid<8,

param.declare @l0.weight : tensor<1x3x2x2xf32>
param.declare @l0.vector : tensor<1x2x2xf32>
param.declare @l0.bias : tensor<1x2x2xf32>
param.declare @fc.weight : tensor<3x2xf32>
param.declare @fc.bias : tensor<3xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x3xf32> {
  %w = param.load @l0.weight : tensor<1x3x2x2xf32>
  %v = param.load @l0.vector : tensor<1x2x2xf32>
  %b = param.load @l0.bias : tensor<1x2x2xf32>
  %h, %c = nn.sru "l0" %x, %w, %v, %b {direction = "forward", skip = "none", skip_scale = 1.0 : f64, activation = "identity"} : (tensor<?x?x2xf32>, tensor<1x3x2x2xf32>, tensor<1x2x2xf32>, tensor<1x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  %fw = param.load @fc.weight : tensor<3x2xf32>
  %fb = param.load @fc.bias : tensor<3xf32>
  %y = nn.linear "fc" %h, %fw bias %fb : (tensor<?x?x2xf32>, tensor<3x2xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  func.return %y : tensor<?x?x3xf32>
}
