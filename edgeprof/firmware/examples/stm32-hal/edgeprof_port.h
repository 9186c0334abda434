#ifndef EDGEPROF_PORT_H
#define EDGEPROF_PORT_H

/* Call it in main() behind the calls that CubeMX made, MX_USARTn_UART_Init() among them. It does not return. */
void edgeprof_main(UART_HandleTypeDef *line);

#endif
