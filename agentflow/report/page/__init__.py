"""The report as one HTML page that needs no network and computes what-ifs by itself."""
