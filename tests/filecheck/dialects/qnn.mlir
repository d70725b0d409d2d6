// RUN: mohaq-opt %s | mohaq-opt | filecheck %s
// RUN: mohaq-opt %s --print-op-generic | mohaq-opt | filecheck %s

func.func @linear(%x: tensor<?x?x3xsi8>, %w: tensor<2x3xsi4>, %b: tensor<2xsi16>) -> tensor<?x?x2xsi8> {
  // CHECK: qnn.matmul %x, %w {acc = #qnn.acc<32, proved, bound = 3072>}
  %s = qnn.matmul %x, %w {acc = #qnn.acc<32, proved, bound = 3072>} : (tensor<?x?x3xsi8>, tensor<2x3xsi4>) -> tensor<?x?x2xsi13>
  // CHECK: qnn.bias
  %t = qnn.bias %s, %b {acc_shift = 0 : i64, bias_shift = 2 : i64} : (tensor<?x?x2xsi13>, tensor<2xsi16>) -> tensor<?x?x2xsi19>
  // CHECK: qnn.requantize {{.*}} {multipliers = array<i64: 77, 78>, shifts = array<i64: 9, 9>}
  %y = qnn.requantize %t {multipliers = array<i64: 77, 78>, shifts = array<i64: 9, 9>} : (tensor<?x?x2xsi19>) -> tensor<?x?x2xsi8>
  func.return %y : tensor<?x?x2xsi8>
}

func.func @split(%x: tensor<?x?x3xsi16>) -> (tensor<?x?x3xsi8>, tensor<?x?x3xui8>) {
  // CHECK: qnn.split
  %h, %l = qnn.split %x : (tensor<?x?x3xsi16>) -> (tensor<?x?x3xsi8>, tensor<?x?x3xui8>)
  func.return %h, %l : tensor<?x?x3xsi8>, tensor<?x?x3xui8>
}

func.func @elementwise(%a: tensor<?x4xsi8>, %b: tensor<4xsi8>) -> tensor<?x2xsi8> {
  // CHECK: qnn.add {{.*}} -> tensor<?x4xsi9>
  %s = qnn.add %a, %b : (tensor<?x4xsi8>, tensor<4xsi8>) -> tensor<?x4xsi9>
  // CHECK: qnn.mul {{.*}} -> tensor<?x4xsi17>
  %m = qnn.mul %s, %a : (tensor<?x4xsi9>, tensor<?x4xsi8>) -> tensor<?x4xsi17>
  // CHECK: qnn.shl {{.*}} {amount = 3 : i64}
  %l = qnn.shl %m {amount = 3 : i64} : (tensor<?x4xsi17>) -> tensor<?x4xsi20>
  // CHECK: qnn.rsub {{.*}} {constant = 5 : i64}
  %r = qnn.rsub %l {constant = 5 : i64} : (tensor<?x4xsi20>) -> tensor<?x4xsi21>
  // CHECK: qnn.saturate
  %t = qnn.saturate %r : (tensor<?x4xsi21>) -> tensor<?x4xsi8>
  // CHECK: qnn.slice {{.*}} {offset = 2 : i64, size = 2 : i64}
  %p = qnn.slice %t {offset = 2 : i64, size = 2 : i64} : (tensor<?x4xsi8>) -> tensor<?x2xsi8>
  func.return %p : tensor<?x2xsi8>
}

func.func @loop(%x: tensor<?x?x4xsi8>) -> (tensor<?x?x4xsi8>, tensor<?x4xsi8>) {
  // CHECK: qnn.scan "reverse" iter(%x : tensor<?x?x4xsi8>) -> (tensor<?x?x4xsi8>, tensor<?x4xsi8>)
  %y, %c = qnn.scan "reverse" iter(%x : tensor<?x?x4xsi8>) -> (tensor<?x?x4xsi8>, tensor<?x4xsi8>) {
  ^bb0(%step: tensor<?x4xsi8>, %state: tensor<?x4xsi8>):
    %sum = qnn.add %step, %state : (tensor<?x4xsi8>, tensor<?x4xsi8>) -> tensor<?x4xsi9>
    %next = qnn.saturate %sum : (tensor<?x4xsi9>) -> tensor<?x4xsi8>
    // CHECK: qnn.yield %next, %next
    qnn.yield %next, %next : tensor<?x4xsi8>, tensor<?x4xsi8>
  }
  func.return %y, %c : tensor<?x?x4xsi8>, tensor<?x4xsi8>
}
// CHECK: qnn.piecewise @curve {{.*}}mirror = 2048 : i64
qnn.piecewise @curve {knots = array<i64: 0, 512>, slopes = array<i64: 512, 495>, offsets = array<i64: 1024, 1028>, fraction = 11 : i64, input_shift = 1 : i64, mirror = 2048 : i64}

func.func @clamping(%x: tensor<?x3xsi16>, %w: tensor<2x3xsi16>) -> tensor<?x2xsi16> {
  // CHECK: qnn.matmul %x, %w {acc = #qnn.acc<32, saturate, bound = 3221225472>}
  %s = qnn.matmul %x, %w {acc = #qnn.acc<32, saturate, bound = 3221225472>} : (tensor<?x3xsi16>, tensor<2x3xsi16>) -> tensor<?x2xsi32>
  // CHECK: qnn.shr {{.*}} {shifts = array<i64: 12, 3>}
  %t = qnn.shr %s {shifts = array<i64: 12, 3>} : (tensor<?x2xsi32>) -> tensor<?x2xsi16>
  // CHECK: qnn.lookup {{.*}} in @curve
  %y = qnn.lookup %t in @curve : (tensor<?x2xsi16>) -> tensor<?x2xsi16>
  func.return %y : tensor<?x2xsi16>
}
