/* The core starts at 0x50000000. Literals stand before the code that loads them. */
    .file "start.S" /* or the linker would name the symbol table's entry after a temporary file */
    .section .reset, "ax"
    .global _reset
_reset:
    j 1f
    .align 4
stack:
    .word link_stack_top
first:
    .word bare_start
second:
    .word main
1:  l32r a1, stack
    l32r a0, first
    callx0 a0
    l32r a0, second
    callx0 a0
2:  j 2b
