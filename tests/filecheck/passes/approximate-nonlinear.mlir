// Tables of 16 steps for one layer, the usual ones for the other; the pass says what they cost.
// RUN: mohaq-opt %s -p 'approximate-nonlinear{kind=lut segments=16 layers=a}' 2>&1 | filecheck %s

// CHECK: a: tanh, lut with 16 segments: largest error 0.38
// CHECK-NOT: b: tanh
// CHECK: nn.rnn "a" {{.*}}nonlinear = {kind = "lut", segments = 16 : i64}
// CHECK: nn.rnn "b"
// CHECK-NOT: nonlinear
param.declare @rnn.weight : tensor<1x1x2x2xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %w = param.load @rnn.weight : tensor<1x1x2x2xf32>
  %h, %s = nn.rnn "a" %x, %w, %w {direction = "forward"} : (tensor<?x?x2xf32>, tensor<1x1x2x2xf32>, tensor<1x1x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  %y, %e = nn.rnn "b" %h, %w, %w {direction = "forward"} : (tensor<?x?x2xf32>, tensor<1x1x2x2xf32>, tensor<1x1x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  func.return %y : tensor<?x?x2xf32>
}
