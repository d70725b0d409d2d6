// RUN: mohaq-opt %s --split-input-file --verify-diagnostics

// expected-error {{the accumulator has 12}}
func.func @main(%x: tensor<?x3xsi8>, %w: tensor<2x3xsi4>) {
  %s = qnn.matmul %x, %w {acc = #qnn.acc<12, proved, bound = 3072>} : (tensor<?x3xsi8>, tensor<2x3xsi4>) -> tensor<?x2xsi13>
  func.return
}

// -----

// expected-error {{overflow rule 'wrap' is not supported}}
func.func @main(%x: tensor<?x3xsi8>, %w: tensor<2x3xsi4>) {
  %s = qnn.matmul %x, %w {acc = #qnn.acc<32, wrap, bound = 3072>} : (tensor<?x3xsi8>, tensor<2x3xsi4>) -> tensor<?x2xsi13>
  func.return
}

// -----

// expected-error {{could overflow: 9 bits needed}}
func.func @main(%a: tensor<4xsi8>) {
  %s = qnn.add %a, %a : (tensor<4xsi8>, tensor<4xsi8>) -> tensor<4xsi8>
  func.return
}

// -----

// expected-error {{must be positive, shift 63 in 0..62}}
func.func @main(%a: tensor<4xsi8>) {
  %s = qnn.requantize %a {multipliers = array<i64: 1>, shifts = array<i64: 63>} : (tensor<4xsi8>) -> tensor<4xsi8>
  func.return
}

// -----

// expected-error {{integers must be signed or unsigned, got i8}}
func.func @main(%a: tensor<4xi8>) {
  %s = qnn.saturate %a : (tensor<4xi8>) -> tensor<4xsi4>
  func.return
}

// -----

// expected-error {{as many yielded values as results}}
func.func @main(%x: tensor<?x?x4xsi8>) {
  %y = qnn.scan "forward" iter(%x : tensor<?x?x4xsi8>) -> (tensor<?x?x4xsi8>) {
  ^bb0(%step: tensor<?x4xsi8>):
    qnn.yield
  }
  func.return
}

// -----

// expected-error {{no table 'sigmoid'}}
func.func @main(%x: tensor<4xsi16>) {
  %y = qnn.lookup %x in @sigmoid : (tensor<4xsi16>) -> tensor<4xsi16>
  func.return
}

// -----

// expected-error {{channels 2..6 of 4}}
func.func @main(%x: tensor<4xsi16>) {
  %y = qnn.slice %x {offset = 2 : i64, size = 4 : i64} : (tensor<4xsi16>) -> tensor<4xsi16>
  func.return
}

// -----

// expected-error {{a saturating accumulator has 2..62 bits and a bound beyond them}}
func.func @main(%x: tensor<?x3xsi8>, %w: tensor<2x3xsi4>) {
  %s = qnn.matmul %x, %w {acc = #qnn.acc<32, saturate, bound = 3072>} : (tensor<?x3xsi8>, tensor<2x3xsi4>) -> tensor<?x2xsi32>
  func.return
}

// -----

// expected-error {{3 shifts do not divide 4 channels}}
func.func @main(%x: tensor<4xsi16>) {
  %y = qnn.shr %x {shifts = array<i64: 1, 2, 3>} : (tensor<4xsi16>) -> tensor<4xsi8>
  func.return
}

// -----

// expected-error {{knots rise from 0}}
qnn.piecewise @f {knots = array<i64: 5>, slopes = array<i64: 1>, offsets = array<i64: 1>, fraction = 11 : i64, input_shift = 0 : i64, mirror = 0 : i64}
