"""Names and sentences of all rules; the ISA page lists them and every one has a negative test."""

from __future__ import annotations

from collections.abc import Mapping

STATIC: Mapping[str, str] = {
    "cell": "The fabric has the cell.",
    "words": "A cell's program has at most 64 words.",
    "encoding": "Every word belongs to an instruction, fixed fields and unused bits hold their "
    "values, SRAM is emitted with opcode 13.",
    "fixed": "DPU bits 15..10 hold the fixed value unless the target's numerics are `wide_acc`.",
    "shift-mode": "A shift (extension) goes with a mode that has a wide result: sum_acc, mult, "
    "mult_add, mult_const, mac, axpy, mac_inter.",
    "mode": "Only DPU modes whose function was measured: not 6, 15, 21, 22, 24..29, 31.",
    "raccu-mode": "RACCU does not multiply: mode 5 returns 0, 6 and 7 were never measured.",
    "loop-count": "LOOP has a trip count of at least 1, from the word (iter_sd skips the body).",
    "loop-link": "LOOP link is 0.",
    "loop-end": "A loop ends before the last word, at an instruction of its body that is no JUMP, "
    "BRANCH, HALT or LOOP.",
    "loop-nest": "Inner loops end no later than outer ones and have higher ids, one apart where "
    "they share their end.",
    "last-word": "The sequencer stops after the last word (of 64 words: after word 62), so no "
    "JUMP, BRANCH or LOOP stands there and only HALT behind it.",
    "loop-jump": "No jump enters or leaves a loop.",
    "target": "Jumps go to an instruction of the program.",
    "compress": "REFI compress is 0.",
    "block-port": "Memory blocks go through ports w0 and r0.",
    "step-sign": "A three-word REFI has l1_step_sign 0 (it is ignored there).",
    "register": "Fields that name a RACCU register name one of the 16; results go to 0..11.",
    "refi-dynamic": "A dynamic l2_delay has the same register number in l1_delay.",
    "reach": "SWB sources lie within two columns and inside the fabric, destinations are 0..5.",
    "source-row": "SWB src_row names the row that send_to_other_row selects.",
    "repairs": "Packed operands need both repairs of the fabric.",
    "route": "Routes stay inside the memory and serve their own row; SRAM has a route and its hops.",
    "sram-dynamic": "The level-2 fields of SRAM come from the word.",
    "write-hops": "SRAM writes go to the tile of the own column next to the fabric.",
}
"""Rules of single instructions and programs."""

TIMING: Mapping[str, str] = {
    "branches": "The program ends, in at most 64 ways through its data-dependent branches.",
    "port-reuse": "A REFI is decoded no earlier than the last access of the pattern before it on "
    "its port (one edge earlier behind a block pattern).",
    "read-before-write": "Register-file words are written at an edge before they are read.",
    "write-clash": "No register-file word is written twice at one edge.",
    "tile": "A tile runs one pattern at a time; the next one is decoded when the last block of the "
    "one before could be stored.",
    "tile-row": "SRAM patterns stay inside the tile.",
    "block-edge": "Every memory row meets a block access of the register file at its edge, and "
    "every block access a row.",
    "bus": "The two cells of a column never receive a memory row at one edge.",
    "driver": "Something drives the port of a store, and goes on to until its pattern ends.",
    "result": "A stored result was made by a mode, not by an idle datapath.",
    "cleared": "No stored result has operands of the cycle in which a DPU instruction clears.",
    "width-mix": "No stored result was made with one operand width and shown with another.",
    "width": "sigm, tanhyp, shift_l and shift_r run with int16; mult_add, axpy, mult_const and "
    "mac_inter not in Q4.11; packed lanes with mult and mac only, without io_change.",
    "second-lane": "out1 is stored for add, subt, mac, max_min and max_min_acc only.",
    "ld-ir": "A DPU instruction follows ld_ir directly.",
    "branch-status": "A BRANCH with a condition follows a compare of a max/min mode.",
}
"""Rules between events, looked at edge by edge."""

TEXT: Mapping[str, str] = {
    "immediate": "The immediate bit of every word is 1.",
}
"""Rules that the text form checks; operations cannot break them."""
