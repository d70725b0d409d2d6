// RUN: mohaq-opt %s -p canonicalize | filecheck %s

// Moves that cancel go; what is left reads the inputs directly.

func.func @main(%x: tensor<?x?x4xf32>) -> (tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<4x?x?xf32>, tensor<?x?x2x2xf32>) {
  // CHECK: %[[SQ:.*]] = nn.unary <square> %x
  %u = nn.unsqueeze %x {axes = [1 : i64]} : (tensor<?x?x4xf32>) -> tensor<?x1x?x4xf32>
  %s = nn.squeeze %u {axes = [1 : i64]} : (tensor<?x1x?x4xf32>) -> tensor<?x?x4xf32>
  %a = nn.unary <square> %s : (tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  // CHECK-NEXT: %[[R:.*]] = nn.reshape %x
  // CHECK-NEXT: %[[RELU:.*]] = nn.unary <relu> %x
  %r = nn.reshape %x {shape = [0 : i64, 0 : i64, 2 : i64, 2 : i64]} : (tensor<?x?x4xf32>) -> tensor<?x?x2x2xf32>
  %t = nn.transpose %r {permutation = [0 : i64, 2 : i64, 1 : i64, 3 : i64]} : (tensor<?x?x2x2xf32>) -> tensor<?x2x?x2xf32>
  %v = nn.transpose %t {permutation = [0 : i64, 2 : i64, 1 : i64, 3 : i64]} : (tensor<?x2x?x2xf32>) -> tensor<?x?x2x2xf32>
  %w = nn.reshape %v {shape = [0 : i64, 0 : i64, -1 : i64]} : (tensor<?x?x2x2xf32>) -> tensor<?x?x4xf32>
  %b = nn.unary <relu> %w : (tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  // Two transposes become one.
  // CHECK-NEXT: %[[T:.*]] = nn.transpose %x {permutation = [2 : i64, 1 : i64, 0 : i64]}
  %p = nn.transpose %x {permutation = [1 : i64, 0 : i64, 2 : i64]} : (tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  %q = nn.transpose %p {permutation = [2 : i64, 0 : i64, 1 : i64]} : (tensor<?x?x4xf32>) -> tensor<4x?x?xf32>
  // CHECK-NEXT: func.return %[[SQ]], %[[RELU]], %[[T]], %[[R]]
  func.return %a, %b, %q, %v : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<4x?x?xf32>, tensor<?x?x2x2xf32>
}
