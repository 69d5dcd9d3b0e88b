//! A network as a graph of named nodes over a closed set of operators.
