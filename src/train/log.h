/* Metrics of every epoch for programs: JSON lines, and TensorBoard's event files with the tags of Keras's callback. */
#ifndef NGI_TRAIN_LOG_H
#define NGI_TRAIN_LOG_H

#include "train/fit.h"

/* Writes anew, each atomically, `folder`/metrics.jsonl, folder/train/events.out.tfevents.netgaze and, where there are
 * validation figures, folder/validation/events.out.tfevents.netgaze. The folders are made if missing. */
NG_NODISCARD ng_status ngi_log_write(const char *folder, const ngi_epoch *history, int n, ng_error *err);

/* CRC-32C (Castagnoli), as TFRecord files have it before masking. */
uint32_t ngi_crc32c(const void *bytes, size_t size);

#endif
