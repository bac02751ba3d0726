"""The applications of `minifast demo`, a file each: `run(asked)` trains on real or honestly generated data, or on one's own."""
