// RUN: mohaq-opt %s -p canonicalize | filecheck %s
// A product and the parameter added to it are one layer; a product read twice stays.

// CHECK: %[[Y:.*]] = nn.linear "fc" %x, %w bias %b
// CHECK-NEXT: %[[M:.*]] = nn.linear "two" %x, %w :
// CHECK-NEXT: %[[N:.*]] = nn.binary "add" %b, %[[M]]
// CHECK-NEXT: func.return %[[Y]], %[[M]], %[[N]]

param.declare @fc.weight : tensor<3x2xf32>
param.declare @fc.bias : tensor<3xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> (tensor<?x?x3xf32>, tensor<?x?x3xf32>, tensor<?x?x3xf32>) {
  %w = param.load @fc.weight : tensor<3x2xf32>
  %b = param.load @fc.bias : tensor<3xf32>
  %p = nn.linear "fc" %x, %w : (tensor<?x?x2xf32>, tensor<3x2xf32>) -> tensor<?x?x3xf32>
  %y = nn.binary "add" %p, %b : (tensor<?x?x3xf32>, tensor<3xf32>) -> tensor<?x?x3xf32>
  %m = nn.linear "two" %x, %w : (tensor<?x?x2xf32>, tensor<3x2xf32>) -> tensor<?x?x3xf32>
  %n = nn.binary "add" %b, %m : (tensor<3xf32>, tensor<?x?x3xf32>) -> tensor<?x?x3xf32>
  func.return %y, %m, %n : tensor<?x?x3xf32>, tensor<?x?x3xf32>, tensor<?x?x3xf32>
}
