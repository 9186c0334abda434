    .file "start.S" /* or the linker would name the symbol table's entry after a temporary file */
    .section .start, "ax"
    .global _start
_start:
    la sp, link_stack_top
    call bare_start
    call main
1:  j 1b
