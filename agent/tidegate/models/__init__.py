"""What a network is here.

`graph` has operators and segments, `gates` the rules that skip blocks, `importing` makes networks of torch
modules, `bundle` keeps them with their ladder in a directory.
"""
