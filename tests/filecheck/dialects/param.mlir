// RUN: mohaq-opt %s | mohaq-opt | filecheck %s
// RUN: mohaq-opt %s --print-op-generic | mohaq-opt | filecheck %s

// CHECK: param.declare @w : tensor<2x3xf32>
param.declare @w : tensor<2x3xf32>
// CHECK: param.declare @q : tensor<4xsi8> {sha256 = "00ff"}
param.declare @q : tensor<4xsi8> {sha256 = "00ff"}

func.func @main() -> tensor<2x3xf32> {
  // CHECK: param.load @w : tensor<2x3xf32>
  %w = param.load @w : tensor<2x3xf32>
  func.return %w : tensor<2x3xf32>
}
