// RUN: mohaq-opt %s | filecheck %s
// RUN: mohaq-opt %s | mohaq-opt | filecheck %s

// Every instruction once: symbols and numbers both read, symbols are written, and so are fields that
// have no symbol that is a name (the sign of a step).

silago.cell 1, 2 {
  silago.halt()
  silago.refi(port_no = 2, extra = 1, init_addr = 3, init_addr_sd = d, l1_step = 5, l1_step_sign = 1)
  silago.dpu(mode = 20)
  silago.dpu(io_change = abs_out, mode = mac, shift = 61)
  silago.swb(hb_index = 4, v_index = 5, src_block = 1, send_to_other_row = y)
  silago.jump(pc = 9)
  silago.wait(cycle = 300, cycle_sd = s)
  silago.loop(extra = 1, loopid = 2, endpc = 30, iter = 4, step = 63)
  silago.bw_config(bw = q4_11)
  silago.raccu(mode = sub, operand1 = 1, operand1_sd = d, operand2 = 16, result = 1)
  silago.branch(mode = 1, false_pc = 12)
  silago.route(vertical_dir = n, vertical_hops = 1, direction = w, select_drra_row = 1)
  silago.sram(rw = w, init_addr = 7, l1_iter = 3, l1_delay = 1, hops = 1)
}

// CHECK: silago.cell 1, 2 {
// CHECK-NEXT: silago.halt
// CHECK-NEXT: silago.refi(port_no = r0, extra = 1, init_addr_sd = d, init_addr = 3, l1_step = 5, l1_step_sign = 1)
// CHECK-NEXT: silago.dpu(mode = tanhyp)
// CHECK-NEXT: silago.dpu(mode = mac, io_change = abs_out, shift = 61)
// CHECK-NEXT: silago.swb(src_block = dpu, hb_index = 4, send_to_other_row = y, v_index = 5)
// CHECK-NEXT: silago.jump(pc = 9)
// CHECK-NEXT: silago.wait(cycle = 300)
// CHECK-NEXT: silago.loop(extra = 1, loopid = 2, endpc = 30, iter = 4, step = 63)
// CHECK-NEXT: silago.bw_config(bw = q4_11)
// CHECK-NEXT: silago.raccu(mode = sub, operand1_sd = d, operand1 = 1, operand2 = 16, result = 1)
// CHECK-NEXT: silago.branch(mode = 1, false_pc = 12)
// CHECK-NEXT: silago.route(vertical_dir = n, vertical_hops = 1, direction = w, select_drra_row = 1)
// CHECK-NEXT: silago.sram(rw = w, init_addr = 7, l1_iter = 3, l1_delay = 1, hops = 1)
