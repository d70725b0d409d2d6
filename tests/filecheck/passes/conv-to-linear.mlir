// RUN: mohaq-opt %s -p conv-to-linear,time-first,canonicalize | filecheck %s

// Behind a recurrent layer a convolution of single steps is a linear layer of the same name;
// one with a wider kernel stays.

// CHECK-DAG: param.declare @one.weight.matrix : tensor<2x2xf32>
// CHECK: %[[H:.*]], %{{.*}} = nn.rnn "l" %x, %{{.*}}, %{{.*}} {
// CHECK-NEXT: %[[K:.*]] = param.load @one.weight.matrix : tensor<2x2xf32>
// CHECK-NEXT: %[[Y:.*]] = nn.linear "one" %[[H]], %[[K]] bias %{{.*}} :
// CHECK: %[[T:.*]] = nn.transpose %[[Y]] {permutation = [1 : i64, 2 : i64, 0 : i64]}
// CHECK: nn.conv1d "two" %[[T]]

param.declare @rnn.weight : tensor<1x1x2x2xf32>
param.declare @one.weight : tensor<2x2x1xf32>
param.declare @one.bias : tensor<2xf32>
param.declare @two.weight : tensor<2x2x3xf32>

func.func @main(%x: tensor<?x?x2xf32>) -> tensor<?x2x?xf32> {
  %wi = param.load @rnn.weight : tensor<1x1x2x2xf32>
  %b = param.load @one.bias : tensor<2xf32>
  %h, %n = nn.rnn "l" %x, %wi, %wi {direction = "forward"} : (tensor<?x?x2xf32>, tensor<1x1x2x2xf32>, tensor<1x1x2x2xf32>) -> (tensor<?x?x2xf32>, tensor<1x?x2xf32>)
  %t = nn.transpose %h {permutation = [1 : i64, 2 : i64, 0 : i64]} : (tensor<?x?x2xf32>) -> tensor<?x2x?xf32>
  %k = param.load @one.weight : tensor<2x2x1xf32>
  %y = nn.conv1d "one" %t, %k bias %b {stride = 1 : i64, dilation = 1 : i64, pad_before = 0 : i64, pad_after = 0 : i64, groups = 1 : i64} : (tensor<?x2x?xf32>, tensor<2x2x1xf32>, tensor<2xf32>) -> tensor<?x2x?xf32>
  %k2 = param.load @two.weight : tensor<2x2x3xf32>
  %z = nn.conv1d "two" %y, %k2 {stride = 1 : i64, dilation = 1 : i64, pad_before = 1 : i64, pad_after = 1 : i64, groups = 1 : i64} : (tensor<?x2x?xf32>, tensor<2x2x3xf32>) -> tensor<?x2x?xf32>
  func.return %z : tensor<?x2x?xf32>
}
