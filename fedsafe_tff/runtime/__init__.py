"""Where TFF computations run. `native` is TFF's own C++ worker, started and ended by us."""
