"""Thin gRPC servicers, and the interceptors around them."""
