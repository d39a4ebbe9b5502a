"""`tidegate bundle label`: a page on this machine that asks for the labels of a sheet, picture by picture."""
