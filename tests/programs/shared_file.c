/* SPDX-License-Identifier: MIT */
/*
 * Each process writes every second block of a file and reads those of the other, without waiting
 * for each operation.
 */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kBlock = 4096, kBlocks = 64 };

static char blocks[kBlocks][kBlock];

static void Check(int result, const char *what) {
  if (result == MPI_SUCCESS) return;
  fprintf(stderr, "%s failed\n", what);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

int main(int argc, char **argv) {
  int rank;
  int size;
  MPI_File file;
  MPI_Request requests[kBlocks];
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  Check(
      MPI_File_open(MPI_COMM_WORLD, argv[1], MPI_MODE_CREATE | MPI_MODE_RDWR, MPI_INFO_NULL, &file),
      "open");
  for (int i = 0; i < kBlocks; ++i) {
    memset(blocks[i], 'A' + (i * size + rank) % 26, kBlock);
    Check(MPI_File_iwrite_at(file, (MPI_Offset)(i * size + rank) * kBlock, blocks[i], kBlock,
                             MPI_BYTE, &requests[i]),
          "iwrite_at");
  }
  Check(MPI_Waitall(kBlocks, requests, MPI_STATUSES_IGNORE), "waitall");
  Check(MPI_File_sync(file), "sync");
  MPI_Barrier(MPI_COMM_WORLD);
  const int other = (rank + 1) % size;
  for (int i = 0; i < kBlocks; ++i) {
    Check(MPI_File_iread_at(file, (MPI_Offset)(i * size + other) * kBlock, blocks[i], kBlock,
                            MPI_BYTE, &requests[i]),
          "iread_at");
  }
  Check(MPI_Waitall(kBlocks, requests, MPI_STATUSES_IGNORE), "waitall");
  int good = 0;
  for (int i = 0; i < kBlocks; ++i) {
    good += blocks[i][0] == 'A' + (i * size + other) % 26 && blocks[i][kBlock - 1] == blocks[i][0];
  }
  int all = 0;
  MPI_Reduce(&good, &all, 1, MPI_INT, MPI_SUM, 0, MPI_COMM_WORLD);
  if (rank == 0) printf("%d of %d blocks\n", all, kBlocks * size);
  MPI_File_close(&file);
  MPI_Finalize();
  return 0;
}
