// RUN: mohaq-opt %s -p time-first,canonicalize | filecheck %s

// A batch-first tagger with a residual around its recurrent layer: transposes are left only at
// the border.

// CHECK: %[[T:.*]] = nn.transpose %x {permutation = [1 : i64, 0 : i64, 2 : i64]}
// CHECK-NEXT: %[[A:.*]] = nn.linear "a" %[[T]], %{{.*}} :
// CHECK-NEXT: %[[H:.*]], %{{.*}} = nn.rnn "l" %[[A]], %{{.*}}, %{{.*}} {
// CHECK-NEXT: %[[S:.*]] = nn.binary "add" %[[A]], %[[H]]
// CHECK-NEXT: %[[B:.*]] = nn.linear "b" %[[S]], %{{.*}} :
// CHECK-NEXT: %[[P:.*]] = nn.softmax %[[B]] {axis = 2 : i64, log = false}
// CHECK-NEXT: %[[Y:.*]] = nn.transpose %[[P]] {permutation = [1 : i64, 0 : i64, 2 : i64]}
// CHECK-NEXT: func.return %[[Y]]

param.declare @square.weight : tensor<2x2xf32>
param.declare @rnn.weight : tensor<1x1x2x2xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x?x2xf32> {
  %w = param.load @square.weight : tensor<2x2xf32>
  %wi = param.load @rnn.weight : tensor<1x1x2x2xf32>
  %a = nn.linear "a" %x, %w : (tensor<?x?x2xf32>, tensor<2x2xf32>) -> tensor<?x?x2xf32>
  %t = nn.transpose %a {permutation = [1 : i64, 0 : i64, 2 : i64]} : (tensor<?x?x2xf32>) -> tensor<?x?x2xf32>
  %h, %n = nn.rnn "l" %t, %wi, %wi {direction = "forward"} : (tensor<?x?x2xf32>, tensor<1x1x2x2xf32>, tensor<1x1x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  %u = nn.transpose %h {permutation = [1 : i64, 0 : i64, 2 : i64]} : (tensor<?x?x2xf32>) -> tensor<?x?x2xf32>
  %s = nn.binary "add" %a, %u : (tensor<?x?x2xf32>, tensor<?x?x2xf32>) -> tensor<?x?x2xf32>
  %b = nn.linear "b" %s, %w : (tensor<?x?x2xf32>, tensor<2x2xf32>) -> tensor<?x?x2xf32>
  %p = nn.softmax %b {axis = 2 : i64, log = false} : (tensor<?x?x2xf32>) -> tensor<?x?x2xf32>
  func.return %p : tensor<?x?x2xf32>
}
