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

// -----

// expected-error {{must be [B, C, Y, X]}}
func.func @main(%x: tensor<?x4x?xf32>, %w: tensor<5x4x3x3xf32>) {
  %y = nn.conv2d "c" %x, %w {strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 1} : (tensor<?x4x?xf32>, tensor<5x4x3x3xf32>) -> tensor<?x5x?x?xf32>
  func.return
}

// -----

// expected-error {{pads needs 4 numbers of at least 0}}
func.func @main(%x: tensor<?x4x?x9xf32>, %w: tensor<5x4x3x3xf32>) {
  %y = nn.conv2d "c" %x, %w {strides = [1, 1], dilations = [1, 1], pads = [0, 0], groups = 1} : (tensor<?x4x?x9xf32>, tensor<5x4x3x3xf32>) -> tensor<?x5x?x7xf32>
  func.return
}

// -----

// expected-error {{expected [?, 5, ?, 7]}}
func.func @main(%x: tensor<?x4x?x9xf32>, %w: tensor<5x4x3x3xf32>) {
  %y = nn.conv2d "c" %x, %w {strides = [1, 1], dilations = [1, 1], pads = [0, 0, 0, 0], groups = 1} : (tensor<?x4x?x9xf32>, tensor<5x4x3x3xf32>) -> tensor<?x5x?x9xf32>
  func.return
}

// -----

// expected-error {{'median' is none of max, mean}}
func.func @main(%x: tensor<?x4x?x9xf32>) {
  %y = nn.pool2d "median" %x {kernel = [1, 3], strides = [1, 3]} : (tensor<?x4x?x9xf32>) -> tensor<?x4x?x3xf32>
  func.return
}

// -----

// expected-error {{'unlike' is none of equal}}
func.func @main(%x: tensor<?x4xf32>) {
  %y = nn.compare "unlike" %x, %x : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  func.return
}

// -----

// expected-error {{cannot compare}}
func.func @main(%x: tensor<?x4xf32>, %n: tensor<?x4xsi64>) {
  %y = nn.compare "less" %x, %n : (tensor<?x4xf32>, tensor<?x4xsi64>) -> tensor<?x4xf32>
  func.return
}

// -----

// expected-error {{one element type}}
func.func @main(%x: tensor<?x4xf32>, %n: tensor<?x4xsi64>) {
  %y = nn.select %x, %x, %n : (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xsi64>) -> tensor<?x4xf32>
  func.return
}

// -----

// expected-error {{cannot cast}}
func.func @main(%x: tensor<?x4xf32>) {
  %y = nn.cast %x : (tensor<?x4xf32>) -> tensor<?x4xf32>
  func.return
}

// -----

// expected-error {{has no axis 2}}
func.func @main(%x: tensor<?x4xf32>) {
  %y = nn.arg_reduce "max" %x {axis = 2 : i64, keep = false} : (tensor<?x4xf32>) -> tensor<?xsi64>
  func.return
}

// -----

// expected-error {{cannot reshape}}
func.func @main(%x: tensor<?x4xf32>) {
  %y = nn.reshape %x {shape = [-2, -1, 4]} : (tensor<?x4xf32>) -> tensor<?x?x4xf32>
  func.return
}

// -----

// expected-error {{cannot reshape}}
func.func @main(%x: tensor<?x4xf32>, %t: tensor<?x?x9xf32>) {
  %y = nn.reshape %x like %t {shape = [-5, -1, 4]} : (tensor<?x4xf32>, tensor<?x?x9xf32>) -> tensor<?x?x4xf32>
  func.return
}

// -----

// expected-error {{'div' of whole numbers}}
func.func @main(%n: tensor<?x4xsi64>) {
  %y = nn.binary "div" %n, %n : (tensor<?x4xsi64>, tensor<?x4xsi64>) -> tensor<?x4xsi64>
  func.return
}
