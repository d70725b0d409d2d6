// RUN: mohaq-opt %s --split-input-file --verify-diagnostics

// expected-error {{needs field 'mode'}}
silago.cell 0, 0 {
  silago.dpu
}

// -----

// expected-error {{'sum' is no value of field 'mode'}}
silago.cell 0, 0 {
  silago.dpu(mode = sum)
}

// -----

// expected-error {{field 'mode' is given twice}}
silago.cell 0, 0 {
  silago.dpu(mode = mac, mode = add)
}

// -----

// expected-error {{DPU has no field 'colour'}}
silago.cell 0, 0 {
  silago.dpu(colour = 1)
}

// -----

// expected-error {{must be 0..31}}
silago.cell 0, 0 {
  silago.dpu(mode = 32)
}

// -----

// expected-error {{needs word 1}}
silago.cell 0, 0 {
  silago.refi(port_no = w0, l1_step = 2)
}

// -----

// expected-error {{is no instruction}}
silago.cell 0, 0 {
  silago.cell 0, 0 {
    silago.halt
  }
}

// -----

// expected-error {{64 hexadecimal}}
silago.image 1, 0, 0 "12"

// -----

// expected-error {{cell (0, 0) has two programs}}
silago.segment @a {
  silago.cell 0, 0 {
    silago.halt
  }
  silago.cell 0, 0 {
    silago.halt
  }
}

// -----

// expected-error {{no SiLago target}}
silago.program "silago9" {
  silago.launch @a
}

// -----

// expected-error {{there is no segment @a}}
silago.program "silago1-rtl" {
  silago.launch @a
}

// -----

// expected-error {{segment @a is never launched}}
silago.program "silago1-rtl" {
  silago.segment @a {
    silago.cell 0, 0 {
      silago.halt
    }
  }
}

// -----

// expected-error {{has no memory row (3, 0, 0)}}
silago.program "silago1-rtl" {
  silago.image 3, 0, 0 "0000000000000000000000000000000000000000000000000000000000000000"
}

// -----

// expected-error {{[cell]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 8 {
      silago.halt
    }
  }
  silago.launch @go
}

// -----

// expected-error {{[reach]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.swb(hb_index = 1, v_index = 0)
    }
  }
  silago.launch @go
}

// -----

// expected-error {{[source-row]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.swb(hb_index = 2, v_index = 0, send_to_other_row = y)
    }
  }
  silago.launch @go
}

// -----

// expected-error {{[fixed]}}
silago.program "silago1-nn" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.dpu(mode = mac, shift = 1)
    }
  }
  silago.launch @go
}

// -----

// expected-error {{[repairs]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.bw_config(bw = int4x4)
    }
  }
  silago.launch @go
}

// -----

// expected-error {{[mode]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.dpu(mode = expon)
    }
  }
  silago.launch @go
}

// -----

// expected-error {{[loop-end]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.loop(endpc = 9, iter = 3)
      silago.wait(cycle = 0)
    }
  }
  silago.launch @go
}

// -----

// expected-error {{[read-before-write]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.refi(port_no = r0)
    }
  }
  silago.launch @go
}

// -----

// expected-error {{[driver]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.refi(port_no = w0, l1_iter = 3)
      silago.swb(hb_index = 2, v_index = 0)
    }
  }
  silago.launch @go
}

// -----

// expected-error {{word 1, edge 2: port w0 is busy until edge 5 (word 0) [port-reuse]}}
silago.program "silago1-rtl" {
  silago.segment @go {
    silago.cell 0, 0 {
      silago.refi(port_no = w0, l1_iter = 3)
      silago.refi(port_no = w0)
    }
  }
  silago.launch @go
}
