// RUN: mohaq-opt %s --split-input-file --verify-diagnostics

// expected-error {{does not fit weight}}
func.func @main(%x: tensor<?x?x6xf32>, %w: tensor<5x4xf32>) {
  %y = nn.linear "out" %x, %w : (tensor<?x?x6xf32>, tensor<5x4xf32>) -> tensor<?x?x5xf32>
  func.return
}

// -----

// expected-error {{bias is (4,), expected (5,)}}
func.func @main(%x: tensor<?x?x4xf32>, %w: tensor<5x4xf32>, %b: tensor<4xf32>) {
  %y = nn.linear "out" %x, %w bias %b : (tensor<?x?x4xf32>, tensor<5x4xf32>, tensor<4xf32>) -> tensor<?x?x5xf32>
  func.return
}

// -----

// expected-error {{has no slot 'weigth'}}
func.func @main(%x: tensor<?x?x4xf32>, %w: tensor<5x4xf32>) {
  %y = nn.linear "out" %x, %w {quant = {weigth = #quant.grid<8, 1.0>}} : (tensor<?x?x4xf32>, tensor<5x4xf32>) -> tensor<?x?x5xf32>
  func.return
}

// -----

// expected-error {{'sideways' is none of forward, reverse, bidirectional}}
func.func @main(%x: tensor<?x?x6xf32>, %w: tensor<1x3x4x6xf32>, %v: tensor<1x2x4xf32>) {
  %h, %c = nn.sru "l0" %x, %w, %v, %v {direction = "sideways", skip = "none", skip_scale = 1.0 : f64, activation = "tanh"} : (tensor<?x?x6xf32>, tensor<1x3x4x6xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>) -> (tensor<?x?x4xf32>, tensor<1x?x4xf32>)
  func.return
}

// -----

// expected-error {{identity skip needs 4 inputs, got 6}}
func.func @main(%x: tensor<?x?x6xf32>, %w: tensor<1x3x4x6xf32>, %v: tensor<1x2x4xf32>) {
  %h, %c = nn.sru "l0" %x, %w, %v, %v {direction = "forward", skip = "identity", skip_scale = 1.0 : f64, activation = "tanh"} : (tensor<?x?x6xf32>, tensor<1x3x4x6xf32>, tensor<1x2x4xf32>, tensor<1x2x4xf32>) -> (tensor<?x?x4xf32>, tensor<1x?x4xf32>)
  func.return
}

// -----

// expected-error {{expected a float32 tensor}}
func.func @main(%x: tensor<?x?x4xf64>, %w: tensor<5x4xf32>) {
  %y = nn.linear "out" %x, %w : (tensor<?x?x4xf64>, tensor<5x4xf32>) -> tensor<?x?x5xf32>
  func.return
}
