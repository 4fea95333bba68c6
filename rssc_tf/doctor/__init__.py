"""What this machine has for rssc-tf, and whether it works: looked at, then tried."""
