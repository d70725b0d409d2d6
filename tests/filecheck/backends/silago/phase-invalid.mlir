// RUN: mohaq-opt %s --split-input-file --verify-diagnostics

// expected-error {{operands have one signed width of 4, 8 or 16 bits}}
func.func @main(%x: tensor<?x4xsi8>, %w: tensor<6x4xsi4>) {
  %y = phase.matrix %x, %w {shifts = array<i64: 3>, bands = array<i64: 0>} : (tensor<?x4xsi8>, tensor<6x4xsi4>) -> tensor<?x6xsi16>
  func.return
}

// -----

// expected-error {{runs of one band have one shift}}
func.func @main(%x: tensor<?x4xsi8>, %w: tensor<6x4xsi8>) {
  %y = phase.matrix %x, %w {shifts = array<i64: 3, 4>, bands = array<i64: 0, 0>} : (tensor<?x4xsi8>, tensor<6x4xsi8>) -> tensor<?x6xsi16>
  func.return
}

// -----

// expected-error {{is no elementwise pass}}
func.func @main(%x: tensor<?x4xsi16>) {
  %y = phase.vector %x {constants = array<i64>, passes = array<i64: 10, 0, 0, 1, 0>, kept = array<i64: 1>} : (tensor<?x4xsi16>) -> tensor<?x4xsi16>
  func.return
}

// -----

// expected-error {{a pass reads what is not made yet}}
func.func @main(%x: tensor<?x4xsi16>) {
  %y = phase.vector %x {constants = array<i64>, passes = array<i64: 1, 0, 2, 1, 0>, kept = array<i64: 1>} : (tensor<?x4xsi16>) -> tensor<?x4xsi16>
  func.return
}
