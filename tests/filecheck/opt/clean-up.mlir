// RUN: mohaq-opt %s -p cse,dce | filecheck %s
// RUN: mohaq-opt %s -p cse,dce --print-ir-after=cse 2>&1 | filecheck %s --check-prefix AFTER
// RUN: mohaq-opt %s -o %t/out.mlir

param.declare @w : tensor<5x4xf32>

// CHECK: func.func @main
// CHECK-NEXT: %w = param.load @w
// CHECK-NEXT: %y = nn.linear "out" %x, %w
// CHECK-NEXT: func.return
// AFTER: IR after cse
// AFTER: func.func @main
// AFTER: func.func @main
func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x5xf32> {
  %w = param.load @w : tensor<5x4xf32>
  %again = param.load @w : tensor<5x4xf32>
  %y = nn.linear "out" %x, %w : (tensor<?x?x4xf32>, tensor<5x4xf32>) -> tensor<?x?x5xf32>
  %dead = nn.linear "dead" %x, %again : (tensor<?x?x4xf32>, tensor<5x4xf32>) -> tensor<?x?x5xf32>
  func.return %y : tensor<?x?x5xf32>
}
