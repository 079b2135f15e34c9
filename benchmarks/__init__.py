"""What the data layer is worth, measured side by side: `python -m benchmarks`, or `make bench`.

`b0`, `b1` and `b2` are applications of other styles on the same tables, `ours` drives the product's own code,
`limit` is what can't be beaten. Everything else here starts them, asks them, and writes down what they did.
"""
