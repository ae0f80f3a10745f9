"""Clean accuracy, attack success rate (Eq. 11), the transfer matrix and example images."""
