"""The wire, as plain values. Pure: no sockets, no clocks, no asyncio, no drivers."""
