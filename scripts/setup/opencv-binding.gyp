# The part of opencv4nodejs that Ostiary uses: core, imgproc, imgcodecs, calib3d.
# scripts/setup/native.sh copies the package's C++ sources beside this file, cuts them and writes
# the unity files; see there.
{
  "targets": [
    {
      "target_name": "opencv4nodejs",
      "sources": ["unity-1.cc", "unity-2.cc", "unity-3.cc", "unity-4.cc"],
      "include_dirs": [
        "shim",
        "<!@(echo $OSTIARY_OPENCV_INCLUDES)",
        "cc",
        "cc/core",
        "cc/native-node-utils",
        "<!(echo $OSTIARY_NAN)",
      ],
      "libraries": [
        "<!@(echo $OSTIARY_OPENCV_LIBRARIES)",
        "-lopencv_core", "-lopencv_imgproc", "-lopencv_imgcodecs", "-lopencv_calib3d",
      ],
      "cflags!": ["-fno-exceptions", "-O3"],
      "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-O3"],
      "cflags": ["-O1", "-w"],
    }
  ]
}
