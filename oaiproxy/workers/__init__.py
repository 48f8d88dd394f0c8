"""Several processes that are one service (``--workers``).

The first process, the supervisor, opens the ports and accepts nothing.  It starts the workers, which get the open
sockets as file descriptors, and each of them is a whole `ProxyService` on the same ports; one that dies is replaced.
What the supervisor and a worker tell each other goes through the worker's standard input and output:

- in: the settings (`messages.HandOver`), then a line for each command; the end of it is the end of the supervisor, and
  the worker ends as well.
- out: lines of JSON (`messages`): its log, that it is ready, that its ports are closed.  What else is to be known of
  all workers in one place, such as figures, can be told there.

`sockets` is the supervisor's side of the ports and `shared` the workers'; `shares` sees to it that each worker has as
many connections as the others.
"""
