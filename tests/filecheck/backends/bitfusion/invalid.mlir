// RUN: mohaq-opt %s --split-input-file --verify-diagnostics

builtin.module {
  func.func @main() {
    bitfusion.program "t" max_rows 4 layers ["a"] {
      // expected-error {{array operands have 2, 4 or 8 bits, got 3/4}}
      bitfusion.setup "gemm" a 3 w 4 layer 0
    }
    func.return
  }
}

// -----

builtin.module {
  func.func @main() {
    bitfusion.program "t" max_rows 4 layers ["a"] {
      // expected-error {{there is no layer 1}}
      bitfusion.setup "gemm" a 2 w 4 layer 1
    }
    func.return
  }
}

// -----

builtin.module {
  func.func @main() {
    bitfusion.program "t" max_rows 4 layers ["a"] {
      // expected-error {{'l1' is none of fixed, rows, batch, steps}}
      bitfusion.loop 0 level 0 "l1" extent 4 step 1
    }
    func.return
  }
}

// -----

builtin.module {
  func.func @main() {
    bitfusion.program "t" max_rows 4 layers ["a"] {
      // expected-error {{field 'amount' of 'Shl' must be 0..63, got 64}}
      bitfusion.shl 0 = 0 by 64
    }
    func.return
  }
}
