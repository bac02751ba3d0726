"""What each setting that can make training faster is worth for a learner, measured on its own model, data and machine.

`adviser.py` decides what is tried; `trials.py` runs the learner's loop for a few steps; `options.py` lists the settings; `report.py` is
the table.
"""
