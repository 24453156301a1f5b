"""SFT and DPO on token ids, in a process of their own: see `launch.train`."""
