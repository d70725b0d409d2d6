// RUN: mohaq-opt %s --split-input-file --verify-diagnostics

// expected-error {{parameter 'w' is not declared}}
func.func @main() {
  %w = param.load @w : tensor<2xf32>
  func.return
}

// -----

// expected-error {{declared as tensor<3xf32>, loaded as tensor<2xf32>}}
param.declare @w : tensor<3xf32>
func.func @main() {
  %w = param.load @w : tensor<2xf32>
  func.return
}

// -----

// expected-error {{'main' is not a parameter}}
func.func @main() {
  %w = param.load @main : tensor<2xf32>
  func.return
}
