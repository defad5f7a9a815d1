/**
 * Reads a compiled image of the contracts.
 * Promise: knows descriptors and options only, never generated code, so it also works when that is missing or broken.
 */
import { createFileRegistry, type DescFile, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

export const readImage = (bytes: Uint8Array): FileRegistry =>
  createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));

/** The files that are ours, by name. */
export const ownFiles = (image: FileRegistry): DescFile[] =>
  [...image.files]
    .filter((file) => file.name.startsWith('tallystick/'))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
