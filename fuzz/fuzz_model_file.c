/* The model readers under libFuzzer: the input is a whole file (HDF5, .keras, model.json) that the
 * dispatcher tells by its content. It must load or be refused with a text; the sanitizers watch the rest. */
#include "format/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("model", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ngi_model_file file;
    ng_error err = {0};
    ng_status status = ngi_model_file_load(path, NULL, &file, &err);
    if ((status == NG_OK) != (file.graph != NULL) || (status != NG_OK && strlen(err.text) < 10) ||
        status == NG_E_INTERNAL)
        abort();
    ngi_model_file_clear(&file);
    close(fd);
    return 0;
}
