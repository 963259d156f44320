"""`make chaos`: faults composed at random upon a real pair, watched by observers of their own.

`plan` draws what happens, `acts` does it, `observer` looks at both VMs every millisecond from
outside, `verdict` judges what was seen, `campaign` goes from run to run. Nothing of the product is
asked whether it was right.
"""
