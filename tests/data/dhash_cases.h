/* Made by tests/fixtures/make_dhash_cases.py with Pillow 13.0.0. */
/* clang-format off */
{"grey.png", 0x1c5cdf9fcfc7e3e3},
{"even.png", 0xc8003313c3ccccfc},
{"orientation-1.png", 0x5a5a1a5a5a5a5a5a},
{"grey-box-120x80.png", 0x1cdcdf9fcfc7e3e3},
{"article-overlay.png", 0x8f071b1b079acdcc},
{"keras-heatmap.png", 0x83e3634dcc5acdc9},
