"""`hydra-ray deploy`: a Serve file checked, deployed, probed and rolled back."""
