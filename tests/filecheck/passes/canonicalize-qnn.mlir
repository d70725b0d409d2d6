// RUN: mohaq-opt %s --split-input-file -p canonicalize,cse | filecheck %s

// Views of views are one view; what cannot change a value goes; equal operations are one.

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x?x6xsi8>, %y: tensor<?x?x2xsi8>, %s: tensor<2x?x3xsi16>) -> (tensor<?x?x2xsi8>, tensor<?x?x1xsi8>, tensor<?x?x6xsi8>, tensor<?x?x2xsi8>, tensor<?x?x10xsi8>, tensor<?x3xsi16>, tensor<2x?x3xsi16>, tensor<?x?x4xsi8>) {
  // A slice of a slice.
  // CHECK-DAG: %[[A:.*]] = qnn.slice %x {offset = 3 : i64, size = 2 : i64}
  %a0 = qnn.slice %x {offset = 1 : i64, size = 5 : i64} : (tensor<?x?x6xsi8>) -> tensor<?x?x5xsi8>
  %a = qnn.slice %a0 {offset = 2 : i64, size = 2 : i64} : (tensor<?x?x5xsi8>) -> tensor<?x?x2xsi8>
  // Part of one part, and a whole part.
  // CHECK-DAG: %[[B:.*]] = qnn.slice %y {offset = 1 : i64, size = 1 : i64}
  %j = qnn.concat %x, %y, %x : (tensor<?x?x6xsi8>, tensor<?x?x2xsi8>, tensor<?x?x6xsi8>) -> tensor<?x?x14xsi8>
  %b = qnn.slice %j {offset = 7 : i64, size = 1 : i64} : (tensor<?x?x14xsi8>) -> tensor<?x?x1xsi8>
  %d = qnn.slice %j {offset = 6 : i64, size = 2 : i64} : (tensor<?x?x14xsi8>) -> tensor<?x?x2xsi8>
  // Neighbouring slices are the whole.
  %c0 = qnn.slice %x {offset = 0 : i64, size = 2 : i64} : (tensor<?x?x6xsi8>) -> tensor<?x?x2xsi8>
  %c1 = qnn.slice %x {offset = 2 : i64, size = 3 : i64} : (tensor<?x?x6xsi8>) -> tensor<?x?x3xsi8>
  %c2 = qnn.slice %x {offset = 5 : i64, size = 1 : i64} : (tensor<?x?x6xsi8>) -> tensor<?x?x1xsi8>
  %c = qnn.concat %c0, %c1, %c2 : (tensor<?x?x2xsi8>, tensor<?x?x3xsi8>, tensor<?x?x1xsi8>) -> tensor<?x?x6xsi8>
  // A concat of a concat.
  // CHECK-DAG: %[[E:.*]] = qnn.concat %y, %y, %x
  %e0 = qnn.concat %y, %x : (tensor<?x?x2xsi8>, tensor<?x?x6xsi8>) -> tensor<?x?x8xsi8>
  %e = qnn.concat %y, %e0 : (tensor<?x?x2xsi8>, tensor<?x?x8xsi8>) -> tensor<?x?x10xsi8>
  // Entries of stacks.
  // CHECK-DAG: %[[P:.*]] = qnn.select %s {index = 1 : i64}
  %p0 = qnn.select %s {index = 0 : i64} : (tensor<2x?x3xsi16>) -> tensor<?x3xsi16>
  %p1 = qnn.select %s {index = 1 : i64} : (tensor<2x?x3xsi16>) -> tensor<?x3xsi16>
  %k = qnn.stack %p0, %p1 : (tensor<?x3xsi16>, tensor<?x3xsi16>) -> tensor<2x?x3xsi16>
  %p2 = qnn.select %s {index = 1 : i64} : (tensor<2x?x3xsi16>) -> tensor<?x3xsi16>
  %k2 = qnn.stack %p2, %p0 : (tensor<?x3xsi16>, tensor<?x3xsi16>) -> tensor<2x?x3xsi16>
  %p = qnn.select %k2 {index = 0 : i64} : (tensor<2x?x3xsi16>) -> tensor<?x3xsi16>
  // Slices in another order stay a join.
  // CHECK-DAG: %[[Q:.*]] = qnn.concat %[[A]], %{{.*}} : (tensor<?x?x2xsi8>, tensor<?x?x2xsi8>)
  %q = qnn.concat %a, %c0 : (tensor<?x?x2xsi8>, tensor<?x?x2xsi8>) -> tensor<?x?x4xsi8>
  // CHECK: func.return %[[A]], %[[B]], %x, %y, %[[E]], %[[P]], %s, %[[Q]]
  func.return %a, %b, %c, %d, %e, %p, %k, %q : tensor<?x?x2xsi8>, tensor<?x?x1xsi8>, tensor<?x?x6xsi8>, tensor<?x?x2xsi8>, tensor<?x?x10xsi8>, tensor<?x3xsi16>, tensor<2x?x3xsi16>, tensor<?x?x4xsi8>
}

// -----

// CHECK-LABEL: func.func @main
func.func @main(%x: tensor<?x4xsi16>, %w: tensor<?x4xsi24>) -> (tensor<?x4xsi16>, tensor<?x4xsi8>, tensor<?x4xsi8>, tensor<?x4xsi16>, tensor<?x4xsi8>) {
  // CHECK-NEXT: %[[C:.*]] = qnn.saturate %w : (tensor<?x4xsi24>) -> tensor<?x4xsi8>
  %a0 = qnn.saturate %x : (tensor<?x4xsi16>) -> tensor<?x4xsi16>
  %a1 = qnn.shl %a0 {amount = 0 : i64} : (tensor<?x4xsi16>) -> tensor<?x4xsi16>
  %a = qnn.requantize %a1 {multipliers = array<i64: 1, 1>, shifts = array<i64: 0, 0>} : (tensor<?x4xsi16>) -> tensor<?x4xsi16>
  %b0 = qnn.saturate %w : (tensor<?x4xsi24>) -> tensor<?x4xsi16>
  %b = qnn.saturate %b0 : (tensor<?x4xsi16>) -> tensor<?x4xsi8>
  // One rounding, straight to the narrow type; one scale for all runs.
  // CHECK-NEXT: %[[R:.*]] = qnn.requantize %w {multipliers = array<i64: 3>, shifts = array<i64: 4>} : (tensor<?x4xsi24>) -> tensor<?x4xsi8>
  %r0 = qnn.requantize %w {multipliers = array<i64: 3, 3>, shifts = array<i64: 4, 4>} : (tensor<?x4xsi24>) -> tensor<?x4xsi16>
  %r = qnn.saturate %r0 : (tensor<?x4xsi16>) -> tensor<?x4xsi8>
  // A clamp that widens keeps the one before it.
  // CHECK-NEXT: %[[N:.*]] = qnn.saturate %x : (tensor<?x4xsi16>) -> tensor<?x4xsi8>
  // CHECK-NEXT: %[[W:.*]] = qnn.saturate %[[N]] : (tensor<?x4xsi8>) -> tensor<?x4xsi16>
  %n0 = qnn.saturate %x : (tensor<?x4xsi16>) -> tensor<?x4xsi8>
  %n = qnn.saturate %n0 : (tensor<?x4xsi8>) -> tensor<?x4xsi16>
  %c = qnn.saturate %w : (tensor<?x4xsi24>) -> tensor<?x4xsi8>
  // CHECK-NEXT: func.return %x, %[[C]], %[[R]], %[[W]], %[[C]]
  func.return %a, %b, %r, %n, %c : tensor<?x4xsi16>, tensor<?x4xsi8>, tensor<?x4xsi8>, tensor<?x4xsi16>, tensor<?x4xsi8>
}
