/**
 * Comments of the proto files, by element name; generated code does not carry them at run time.
 * Promise: reads the compiled image, so what a comment belongs to is the compiler's word.
 */
import { createFileRegistry, type DescFile, type DescMessage, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

/** Field numbers of descriptor.proto, of which source paths are made. */
const IN_FILE = { message: 4, enum: 5, service: 6 } as const;
const IN_MESSAGE = { field: 2, nested: 3, enum: 4 } as const;
const IN_ENUM = { value: 2 } as const;
const IN_SERVICE = { method: 2 } as const;

type Paths = Map<string, string>;

const pathKey = (path: readonly number[]): string => path.join('.');

/** Own comments of a compiled image: `tallystick.hosting.v1.Job.label` -> `A name.` */
export function readComments(image: Uint8Array): Record<string, string> {
  const registry: FileRegistry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
  const own = [...registry.files].filter((file) => file.name.startsWith('tallystick/'));
  return Object.fromEntries(own.flatMap(commentsOfFile).sort(([left], [right]) => (left < right ? -1 : 1)));
}

function commentsOfFile(file: DescFile): [string, string][] {
  const names: Paths = new Map();
  const { package: pack } = file.proto;
  for (const [index, message] of file.messages.entries()) addMessage(names, message, [IN_FILE.message, index]);
  for (const [index, type] of file.enums.entries()) {
    names.set(pathKey([IN_FILE.enum, index]), type.typeName);
    for (const [at, value] of type.values.entries())
      names.set(pathKey([IN_FILE.enum, index, IN_ENUM.value, at]), `${type.typeName}.${value.name}`);
  }
  for (const [index, service] of file.services.entries()) {
    names.set(pathKey([IN_FILE.service, index]), service.typeName);
    for (const [at, method] of service.methods.entries())
      names.set(pathKey([IN_FILE.service, index, IN_SERVICE.method, at]), `${service.typeName}.${method.name}`);
  }
  if (!pack) throw new Error(`${file.name} has no package`);
  return (file.proto.sourceCodeInfo?.location ?? []).flatMap(({ path, leadingComments }) => {
    const name = names.get(pathKey(path));
    return name && leadingComments ? [[name, tidy(leadingComments)] as [string, string]] : [];
  });
}

function addMessage(names: Paths, message: DescMessage, path: readonly number[]): void {
  names.set(pathKey(path), message.typeName);
  for (const [index, field] of message.fields.entries())
    names.set(pathKey([...path, IN_MESSAGE.field, index]), `${message.typeName}.${field.name}`);
  for (const [index, nested] of message.nestedMessages.entries())
    addMessage(names, nested, [...path, IN_MESSAGE.nested, index]);
  for (const [index, type] of message.nestedEnums.entries())
    names.set(pathKey([...path, IN_MESSAGE.enum, index]), type.typeName);
}

/** One paragraph: line ends are the proto file's, not the reader's. */
const tidy = (text: string): string => text.trim().replace(/\s*\n\s*/g, ' ');
