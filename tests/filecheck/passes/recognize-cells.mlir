// A GRU spelled out for one step becomes the layer; a sum of two gates of x alone does not.
// RUN: mohaq-opt %s -p recognize-cells | filecheck %s

// CHECK-DAG: param.declare @gru0.weight : tensor<1x3x2x2xf32>
// CHECK-DAG: param.declare @gru0.recurrent : tensor<1x3x2x2xf32>
// CHECK-LABEL: func.func @main
// CHECK: %[[X:.*]] = nn.unsqueeze %x
// CHECK: %[[H:.*]] = nn.unsqueeze %h
// CHECK: %{{.*}}, %[[F:.*]] = nn.gru "gru0" %[[X]], {{.*}} init(%[[H]] :
// CHECK-NEXT: %[[Y:.*]] = nn.squeeze %[[F]]
// CHECK: %[[A:.*]] = nn.unary <sigmoid>
// CHECK: %[[S:.*]] = nn.binary "add" %[[A]]
// CHECK: func.return %[[Y]], %[[S]]

param.declare @square.weight : tensor<2x2xf32>

func.func @main(%x: tensor<?x2xf32>, %h: tensor<?x2xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %w = param.load @square.weight : tensor<2x2xf32>
  %wx = nn.linear "wx" %x, %w : (tensor<?x2xf32>, tensor<2x2xf32>) -> tensor<?x2xf32>
  %uh = nn.linear "uh" %h, %w : (tensor<?x2xf32>, tensor<2x2xf32>) -> tensor<?x2xf32>
  %v = nn.binary "add" %wx, %uh : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %r = nn.unary <sigmoid> %v : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %z = nn.unary <sigmoid> %uh : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %ru = nn.binary "mul" %r, %uh : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %m = nn.binary "add" %wx, %ru : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %n = nn.unary <tanh> %m : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %gap = nn.binary "sub" %h, %n : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %part = nn.binary "mul" %z, %gap : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %y = nn.binary "add" %n, %part : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %a = nn.unary <sigmoid> %wx : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %s = nn.binary "add" %a, %x : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  func.return %y, %s : tensor<?x2xf32>, tensor<?x2xf32>
}
