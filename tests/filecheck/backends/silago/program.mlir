// RUN: mohaq-opt %s | filecheck %s
// RUN: mohaq-opt %s | mohaq-opt | filecheck %s

// The worked example of the ISA: a 4 x 8 product on one cell, as written by hand. Verified with every
// rule of timing; fields at their defaults are left out.

silago.program "silago1-rtl" {
  silago.image 1, 0, 0 "fff700040003fff70006fffafffd0003000600050006fffafffffff90009fffb"
  silago.image 1, 0, 1 "0007fff70004fffd0003fff70008fff7fff7fff70001fffa0009fffeffff0005"
  silago.image 1, 0, 2 "0000000000000000000000000000000000040004000600040009000800080004"
  silago.segment @go {
    silago.cell 0, 0 {
      silago.route(horizontal_dir = e, vertical_dir = n)
      silago.sram(l1_iter = 2)
      silago.refi(port_no = w0, extra = 2, l1_iter = 2, init_delay = 4, l2_step = 0, dimarch = y)
      silago.swb(hb_index = 2, v_index = 2)
      silago.swb(src_port = 1, hb_index = 2, v_index = 3)
      silago.swb(src_block = dpu, hb_index = 2, v_index = 0)
      silago.refi(port_no = r0, extra = 2, l1_iter = 7, init_delay = 5, l2_iter = 3, l2_step = 8, l2_delay = 1)
      silago.refi(port_no = r1, extra = 2, init_addr = 32, l1_iter = 7, init_delay = 4, l2_iter = 3, l2_step = 0, l2_delay = 1)
      silago.refi(port_no = w0, extra = 1, init_addr = 48, l1_iter = 3, init_delay = 11, l1_delay = 8, l2_step = 0)
      silago.loop(endpc = 20, iter = 4)
      silago.dpu(mode = mac, acc_clear = 255)
      silago.wait(cycle = 7)
      silago.wait(cycle = 10)
      silago.halt
    }
  }
  silago.launch @go
}

// CHECK: silago.program "silago1-rtl" {
// CHECK-NEXT: silago.image 1, 0, 0 "fff700040003fff70006fffafffd0003000600050006fffafffffff90009fffb"
// CHECK-NEXT: silago.image 1, 0, 1 "0007fff70004fffd0003fff70008fff7fff7fff70001fffa0009fffeffff0005"
// CHECK-NEXT: silago.image 1, 0, 2 "0000000000000000000000000000000000040004000600040009000800080004"
// CHECK-NEXT: silago.segment @go {
// CHECK-NEXT: silago.cell 0, 0 {
// CHECK-NEXT: silago.route(horizontal_dir = e, vertical_dir = n)
// CHECK-NEXT: silago.sram(l1_iter = 2)
// CHECK-NEXT: silago.refi(port_no = w0, extra = 2, l1_iter = 2, init_delay = 4, l2_step = 0, dimarch = y)
// CHECK-NEXT: silago.swb(hb_index = 2, v_index = 2)
// CHECK-NEXT: silago.swb(src_port = 1, hb_index = 2, v_index = 3)
// CHECK-NEXT: silago.swb(src_block = dpu, hb_index = 2, v_index = 0)
// CHECK-NEXT: silago.refi(port_no = r0, extra = 2, l1_iter = 7, init_delay = 5, l2_iter = 3, l2_step = 8, l2_delay = 1)
// CHECK-NEXT: silago.refi(port_no = r1, extra = 2, init_addr = 32, l1_iter = 7, init_delay = 4, l2_iter = 3, l2_step = 0, l2_delay = 1)
// CHECK-NEXT: silago.refi(port_no = w0, extra = 1, init_addr = 48, l1_iter = 3, init_delay = 11, l1_delay = 8, l2_step = 0)
// CHECK-NEXT: silago.loop(endpc = 20, iter = 4)
// CHECK-NEXT: silago.dpu(mode = mac, acc_clear = 255)
// CHECK-NEXT: silago.wait(cycle = 7)
// CHECK-NEXT: silago.wait(cycle = 10)
// CHECK-NEXT: silago.halt
// CHECK-NEXT: }
// CHECK-NEXT: }
// CHECK-NEXT: silago.launch @go
// CHECK-NEXT: }
// CHECK-NEXT: }
