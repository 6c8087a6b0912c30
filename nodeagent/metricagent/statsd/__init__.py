"""Application metrics: StatsD and DogStatsD over UDP, from packets to one reading a series and interval.

packets (bytes -> values, no I/O, no clock) -> window (what came in one interval) -> totals (what is shown of it);
datagrams is the socket, server the thread that ties them.
"""
