/* Start-up without a C library: interrupt table, loader's records, stack, mode, idle at the end. */
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define C(name) JOIN(__USER_LABEL_PREFIX__, name)

#define MAILBOX 0x100 /* MOHAQ_MAILBOX; state, error, detail at +16, +24, +28 */
#define FAILED 3

    .section IVT_RESET, "ax", @progbits
    .global _start
    .type _start, %function
_start:
    .balign 4 /* 0x00 reset */
    b C(mohaq_reset)
    .balign 4 /* 0x04 software exception: unaligned access, unknown instruction */
    b .Lexception
    .balign 4 /* 0x08 memory fault */
    b .Lfault
    .balign 4 /* 0x0c .. 0x24 are masked */
    b .Lreturn
    .balign 4
    b .Lreturn
    .balign 4
    b .Lreturn
    .balign 4
    b .Lreturn
    .balign 4
    b .Lreturn
    .balign 4
    b .Lreturn
    .balign 4
    b .Lreturn
    .size _start, .-_start

/* The loader finds these records by their section names and fills them. */
    .section workgroup_cfg, "aw", @progbits
    .global C(mohaq_group)
C(mohaq_group):
    .skip 40
    .section ext_mem_cfg, "aw", @progbits
    .skip 8
    .section loader_cfg, "aw", @progbits
    .skip 16

    .section .text_bank0, "ax", @progbits
    .balign 8
    .global C(mohaq_reset)
    .type C(mohaq_reset), %function
C(mohaq_reset):
    mov sp, %low(MOHAQ_STACK_TOP - 16)
    movt sp, %high(MOHAQ_STACK_TOP - 16)
    mov fp, 0
    /* Integer mode for the whole program (bits 19:17), timer 0 counts clock cycles (bits 7:4),
       clock gating as the loader sets it (bit 22). */
    mov r0, %low(0x00480010)
    movt r0, %high(0x00480010)
    movts config, r0
    /* All interrupts masked but reset, software exception and memory fault. */
    mov r0, 0x3f8
    movts imask, r0
    mov r0, %low(MOHAQ_BSS_START)
    movt r0, %high(MOHAQ_BSS_START)
    mov r1, %low(MOHAQ_BSS_END)
    movt r1, %high(MOHAQ_BSS_END)
    mov r2, 0
.Lclear:
    sub r3, r0, r1
    beq .Lcleared
    str r2, [r0], 1
    b .Lclear
.Lcleared:
    /* Leave the reset interrupt. */
    mov r0, %low(.Lrun)
    movt r0, %high(.Lrun)
    movts iret, r0
    rti
.Lrun:
    mov r3, %low(C(mohaq_find_place))
    movt r3, %high(C(mohaq_find_place))
    jalr r3
    mov r3, %low(C(mohaq_main))
    movt r3, %high(C(mohaq_main))
    jalr r3
.Lend:
    idle
    b .Lend

.Lexception:
    mov r1, 0xe1
    b .Lreport
.Lfault:
    mov r1, 0xe2
.Lreport:
    mov r0, MAILBOX
    movfs r2, iret
    str r1, [r0, 6]
    str r2, [r0, 7]
    mov r1, FAILED
    str r1, [r0, 4]
    b .Lend
.Lreturn:
    rti
    .size C(mohaq_reset), .-C(mohaq_reset)
