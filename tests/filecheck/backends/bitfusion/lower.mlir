// RUN: mohaq-opt %s -p "lower-to-bitfusion{target=bitfusion-e max_rows=100}" | filecheck %s
// RUN: mohaq-opt %s -p "lower-to-bitfusion{max_rows=100 prefer=balanced}" | filecheck %s
// RUN: mohaq-opt %s -p "lower-to-bitfusion{target=bitfusion-e max_rows=100}" -o %t/low.mlir

// A product, its bias and its rounding become one block; nothing else is needed.

builtin.module {
  param.declare @fc.weight.q4 : tensor<2x3xsi4>
  param.declare @fc.bias.q : tensor<2xsi16>
  func.func @main(%x: tensor<?x?x3xsi8>) -> tensor<?x?x2xsi16> {
    %w = param.load @fc.weight.q4 : tensor<2x3xsi4>
    %p = qnn.matmul %x, %w {acc = #qnn.acc<32, proved, bound = 3072>} : (tensor<?x?x3xsi8>, tensor<2x3xsi4>) -> tensor<?x?x2xsi13>
    %b = param.load @fc.bias.q : tensor<2xsi16>
    %q = qnn.bias %p, %b {acc_shift = 4 : i64, bias_shift = 0 : i64} : (tensor<?x?x2xsi13>, tensor<2xsi16>) -> tensor<?x?x2xsi18>
    %y = qnn.requantize %q {multipliers = array<i64: 21>, shifts = array<i64: 7>} : (tensor<?x?x2xsi18>) -> tensor<?x?x2xsi16>
    func.return %y : tensor<?x?x2xsi16>
  }
}

// CHECK:      bitfusion.program "bitfusion-e" max_rows 100 layers ["fc"] {
// CHECK-NEXT:   bitfusion.region @fc_weight_q4 address 0 bits 24 width 4 from @fc.weight.q4
// CHECK-NEXT:   bitfusion.region @fc_bias_q address 512 bits 32 width 16 from @fc.bias.q
// CHECK-NEXT:   bitfusion.region @arg0 address 1024 bits 2400 width 0
// CHECK:        bitfusion.port "input" 0 part 0 of 0 "steps" channels 3
// CHECK:        bitfusion.setup "gemm" a 8 w 4 layer 0
// CHECK:        "rows" extent 100
// CHECK:        bitfusion.compute 0 loop 2
// CHECK-NEXT:   bitfusion.post_start loop 1
// CHECK-NEXT:   bitfusion.load 0 = 2
// CHECK-NEXT:   bitfusion.load 1 = 3
// CHECK-NEXT:   bitfusion.bias 1 = 0 shl 4, 1 shl 0
// CHECK-NEXT:   bitfusion.requantize 1 = 1 width 16 signed 1 by [21 : i64] shift [7 : i64]
// CHECK-NEXT:   bitfusion.store 1 to 4
// CHECK-NEXT:   bitfusion.st_mem 4 loop 1
// CHECK-NEXT:   bitfusion.block_end
