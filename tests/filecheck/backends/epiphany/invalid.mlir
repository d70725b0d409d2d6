// RUN: mohaq-opt %s --split-input-file --verify-diagnostics

builtin.module {
  epiphany.program "t" cores 16 banks [1 : i64, 2 : i64, 3 : i64] size 0 {
    // expected-error {{active must be positive, got 0}}
    epiphany.stage "l" active 0 quads 1 levels 1 buffered 0 constants 0 scalars 0 states [] spills [] {
      epiphany.elements "rescale" count 1 active 1
    }
  }
}

// -----

builtin.module {
  epiphany.program "t" cores 16 banks [1 : i64, 2 : i64, 3 : i64] size 0 {
    epiphany.stage "l" active 1 quads 1 levels 1 buffered 0 constants 0 scalars 0 states [] spills [] {
      // expected-error {{2 tiles of 8 do not cover 20 columns}}
      epiphany.operand columns [20 : i64] tiles [2 : i64] of [8 : i64]
    }
  }
}

// -----

builtin.module {
  epiphany.program "t" cores 16 banks [1 : i64, 2 : i64, 3 : i64] size 0 {
    epiphany.stage "l" active 1 quads 1 levels 1 buffered 0 constants 0 scalars 0 states [] spills [] {
      // expected-error {{data lie in bank 1, 2 or 3}}
      epiphany.field "sums0" "uint32_t" count 4 bank 0
    }
  }
}

// -----

builtin.module {
  // expected-error {{the banks 1, 2 and 3 have a size}}
  epiphany.program "t" cores 16 banks [1 : i64, 2 : i64] size 0 {
    epiphany.stage "l" active 1 quads 1 levels 1 buffered 0 constants 0 scalars 0 states [] spills [] {
      epiphany.elements "rescale" count 1 active 1
    }
  }
}
